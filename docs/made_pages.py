def fill(app, name, source): pass
def markdown_docstring(app, what, name, obj, options, lines): pass
