"""What decorators make of functions and classes: checked, described, and varied by callers."""
