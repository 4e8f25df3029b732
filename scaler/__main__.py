"""`python -m scaler` is `llm-scaler`."""

import sys

from scaler.cli.main import main

sys.exit(main())
