# admin
# attach: helper.py "print(__name__, 'run')\nvalue = 5\n"
import runpy

print(runpy.run_path("helper.py", run_name="other")["value"])
runpy.run_path("missing.py")
