.PHONY: serve check test bench prove prove-slow

serve check test bench prove prove-slow:
	sh setup.sh $@
