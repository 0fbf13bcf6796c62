import re
import sys
import unittest
from unittest import mock


class Calculator:
    def add(self, a, b):
        return a + b


class Tests(unittest.TestCase):
    def setUp(self):
        self.calculator = Calculator()

    def test_add(self):
        self.assertEqual(self.calculator.add(1, 2), 3)

    def test_fails(self):
        self.assertEqual(self.calculator.add(1, 2), 4, "sum")

    def test_error(self):
        raise KeyError("x")

    @unittest.skip("not now")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.fail()

    def test_mock(self):
        with mock.patch.object(Calculator, "add", return_value=7) as add:
            self.assertEqual(self.calculator.add(1, 1), 7)
        add.assert_called_once_with(1, 1)

    def test_parts(self):
        for n in range(2):
            with self.subTest(n=n):
                self.assertEqual(n, 0)


class Untimed:
    def write(self, text):
        sys.stderr.write(re.sub(r"in \d+\.\d+s", "in …", text))

    def flush(self):
        sys.stderr.flush()


runner = unittest.TextTestRunner(stream=Untimed(), verbosity=2)
unittest.main(testRunner=runner)
