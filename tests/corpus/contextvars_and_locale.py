import contextvars
import locale

variable = contextvars.ContextVar("variable", default=5)
variable.set(6)
print(variable.get(), contextvars.copy_context()[variable], locale.localeconv()["decimal_point"], locale.format_string("%.2f", 1234.5))
