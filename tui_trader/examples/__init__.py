"""Files to copy into a folder of your own strategies (``strategies.folder``)."""
