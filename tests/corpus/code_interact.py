# admin
# stdin: "1 + 1\nprint('x')\nnope\n"
import code
import sys

code.InteractiveConsole({"__name__": "console"}).interact(banner="banner", exitmsg="bye")
