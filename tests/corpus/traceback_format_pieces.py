import sys
import traceback


def fail():
    raise KeyError("k")


try:
    fail()
except KeyError as error:
    trace = error.__traceback__
    print([(entry.name, entry.lineno, entry.line) for entry in traceback.extract_tb(trace)])
    print(traceback.format_exception_only(type(error), error))
    traceback.print_tb(trace, file=sys.stderr)
    report = traceback.TracebackException.from_exception(error)
    print("".join(report.format()), file=sys.stderr)
    print(trace.tb_frame.f_code.co_name, trace.tb_next.tb_frame.f_code.co_name, trace.tb_next.tb_next)
