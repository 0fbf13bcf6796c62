import io
import sys

sys.stderr = io.StringIO()
sys.exit("into a string")
