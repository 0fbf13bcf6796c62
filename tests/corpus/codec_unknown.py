"x".encode("klingon")
