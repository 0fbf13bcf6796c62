# python: 3.9
import datetime
import zoneinfo

try:
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
except zoneinfo.ZoneInfoNotFoundError as error:
    print("no time zones here", error)
else:
    summer = datetime.datetime(2024, 7, 1, 12, tzinfo=berlin)
    print(summer, summer.tzname(), summer.utcoffset(), datetime.datetime(2024, 3, 31, 2, 30, tzinfo=berlin).utcoffset())
zoneinfo.ZoneInfo("Mars/Olympus")
