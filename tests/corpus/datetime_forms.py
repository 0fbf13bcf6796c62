import calendar
import datetime
import time

moment = datetime.datetime(2024, 2, 29, 12, 30, 45, 123456, tzinfo=datetime.timezone.utc)
print(moment, repr(moment), moment.isoformat(), moment.strftime("%A %d %B %Y %H:%M:%S.%f %z %j %U"))
print(datetime.datetime.strptime("29/02/2024 23:59", "%d/%m/%Y %H:%M"), time.strptime("30 Nov 00", "%d %b %y").tm_yday)
print(moment + datetime.timedelta(days=366, hours=-5), moment.astimezone(datetime.timezone(datetime.timedelta(hours=5.5))))
print(calendar.month(2024, 2), calendar.isleap(2024), time.gmtime(0)[:6], time.localtime(0)[:6], time.tzname, time.strftime("%Y", time.gmtime(86400 * 365)))
print(datetime.date.fromisoformat("2024-02-29").isocalendar()[1])
datetime.datetime.strptime("yesterday", "%d/%m/%Y")
