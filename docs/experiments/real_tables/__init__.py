"""Does the evidence choose well? Structures picked on training rows of real tables, judged on the test rows."""
