assert not True
