.PHONY: serve check test prove

serve check test prove:
	sh setup.sh $@
