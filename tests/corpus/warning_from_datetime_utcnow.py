import datetime

print(datetime.datetime.utcfromtimestamp(0))
