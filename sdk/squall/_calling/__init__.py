"""A call from this side: its inputs on their way out, its outcomes on their way back."""
