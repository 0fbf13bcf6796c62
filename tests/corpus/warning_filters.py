import warnings

print([(action, category.__name__, module if module is None else getattr(module, "pattern", module)) for action, message, category, module, line in warnings.filters if message is None and category.__module__ == "builtins"])
warnings.filterwarnings("ignore", message="quiet")
warnings.warn("quiet please")
warnings.warn("loud please")
