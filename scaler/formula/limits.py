"""What a formula may cost. The text comes from strangers: each bound holds before the work it bounds is done."""

MAX_LENGTH = 4096  # characters of text
MAX_WORD = 128  # characters of a name or number
MAX_NODES = 256  # of the tree
MAX_NESTING = 32  # brackets, right operands, closures and branches inside each other
MAX_HEIGHT = 128  # of the tree: a long sum is a high tree without being nested
MAX_ARRAY = 1000  # elements of one array
MAX_WORK = 5000  # nodes visited in closures plus elements handled, in one evaluation
MAX_ARRAY_NESTING = 4  # arrays in arrays
