// Shows which Python, folder and service this Fiji uses.
#@output String python
#@output String home
#@output String url
#@output String error

def library = System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji"
new GroovyShell(getClass().classLoader).evaluate(new File(library, 'load.groovy')).settings(this)
