// Returns the commands that all menu scripts share. They are compiled once per Fiji, and again after an update.
import org.codehaus.groovy.control.CompilerConfiguration

def library = new File(System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji")
def sources = new File(library, 'dl4fiji').listFiles().findAll { it.name.endsWith('.groovy') }.sort()
def stamp = sources.collect { "$it ${it.lastModified()} ${it.length()}" }.join('\n')
synchronized (ij.IJ) {
    def known = ij.IJ.getProperty('dl4fiji.commands')
    if (known == null || known[0] != stamp) {
        def utf8 = new CompilerConfiguration(sourceEncoding: 'UTF-8')
        def loader = new GroovyClassLoader(getClass().classLoader, utf8)
        loader.addClasspath(library.path)
        known = [stamp, loader.loadClass('dl4fiji.Commands').getDeclaredConstructor().newInstance()]
        ij.IJ.setProperty('dl4fiji.commands', known)
    }
    return known[1]
}
