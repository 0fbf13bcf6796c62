import io
import sys
import unittest


class Chosen(unittest.TestCase):
    def test_one(self):
        self.assertEqual(sys.argv[0], "tests")

    def test_two(self):
        self.fail("not chosen")


sys.argv = ["tests", "Chosen.test_one"]
program = unittest.main(exit=False, testRunner=unittest.TextTestRunner(stream=io.StringIO()))
print(program.result.testsRun, program.result.wasSuccessful())
