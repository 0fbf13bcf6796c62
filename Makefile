.PHONY: serve check test bench prove

serve check test bench prove:
	sh setup.sh $@
