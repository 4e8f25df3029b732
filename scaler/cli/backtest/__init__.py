"""`llm-scaler backtest`: what an object did, replayed from its own past, and what other settings would have cost."""
