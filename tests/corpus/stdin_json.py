# stdin: "{\"items\": [1, 2, {\"ü\": null}]}"
import json
import sys

data = json.load(sys.stdin)
json.dump(data, sys.stdout, ensure_ascii=False, indent=1, sort_keys=True)
