"""`python -m signx_hf` is the command line."""

import sys

from .cli import main

sys.exit(main())
