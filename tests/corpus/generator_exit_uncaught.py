raise GeneratorExit("as an exception")
