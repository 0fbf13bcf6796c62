.PHONY: serve mcp check test bench prove prove-slow

serve mcp check test bench prove prove-slow:
	sh setup.sh $@
