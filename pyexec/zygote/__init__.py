"""A zygote: a warm interpreter that forks children and never sees a byte of a request."""
