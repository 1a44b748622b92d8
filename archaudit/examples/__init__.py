"""Models that ship with archaudit, each a package with the model's code before and after a change and an `audit.toml`.

Nothing here imports torch until one of the model files itself is imported.
"""
