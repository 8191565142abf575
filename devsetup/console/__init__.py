"""The only package that prints: views as blocks, a screen to put them on, and live progress."""
