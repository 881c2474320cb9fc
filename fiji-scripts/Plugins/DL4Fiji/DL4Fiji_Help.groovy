// Says how to begin.
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy')).help(this)
