"""`python -m scaler` is `llm-scaler`."""

import sys

from scaler.cli import main

sys.exit(main())
