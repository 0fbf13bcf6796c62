# admin
import faulthandler
import os


def crash():
    os.abort()


faulthandler.enable()
crash()
