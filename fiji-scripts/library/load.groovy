// Returns the commands that all menu scripts share. Their sources, in the folder dl4fiji beside this file, are compiled
// into DL4Fiji's home once per change and Groovy version, which takes some seconds; where that is not to be had, in memory.
import groovy.json.JsonSlurper
import java.nio.file.Files
import java.security.MessageDigest
import org.codehaus.groovy.control.CompilationUnit
import org.codehaus.groovy.control.CompilerConfiguration

File library = new File(System.getProperty('dl4fiji.library') ?: "${ij.IJ.getDirectory('imagej')}dl4fiji")
List<File> sources = new File(library, 'dl4fiji').listFiles().findAll { it.name.endsWith('.groovy') }.sort()
String stamp = sources.collect { "$it.name ${it.lastModified()} ${it.length()}" }.join('\n')

synchronized (ij.IJ) {
    def known = ij.IJ.getProperty('dl4fiji.commands')
    if (known == null || known[0] != stamp) {
        ClassLoader loader
        try {
            loader = new URLClassLoader([compiled(library, sources).toURI().toURL()] as URL[], getClass().classLoader)
        } catch (IOException error) {
            ij.IJ.log("DL4Fiji's commands are compiled in memory, since its folder cannot be used (${error.message}).")
            loader = new GroovyClassLoader(getClass().classLoader, new CompilerConfiguration(sourceEncoding: 'UTF-8'))
            loader.addClasspath(library.path)
        }
        known = [stamp, loader.loadClass('dl4fiji.Commands').getDeclaredConstructor().newInstance()]
        ij.IJ.setProperty('dl4fiji.commands', known)
    }
    return known[1]
}

/** Return the folder with the classes of {@code sources}, made if it is not there. */
File compiled(File library, List<File> sources) {
    MessageDigest digest = MessageDigest.getInstance('SHA-256')
    digest.update("${GroovySystem.version} ${System.getProperty('java.specification.version')}".getBytes('UTF-8'))
    sources.each { digest.update("$it.name\n".getBytes('UTF-8')); digest.update(it.bytes) }
    File cache = new File(home(library), 'menu')
    File classes = new File(cache, digest.digest().encodeHex().toString().take(24))
    if (classes.directory) {
        classes.setLastModified(System.currentTimeMillis())
        return classes
    }
    if (!cache.directory && !cache.mkdirs()) throw new IOException("$cache cannot be made")
    File partial = Files.createTempDirectory(cache.toPath(), 'part').toFile()
    CompilationUnit unit = new CompilationUnit(new CompilerConfiguration(sourceEncoding: 'UTF-8', targetDirectory: partial),
        null, new GroovyClassLoader(getClass().classLoader))
    sources.each { unit.addSource(it) }
    unit.compile()
    if (!partial.renameTo(classes)) {
        partial.deleteDir()  // another Fiji was faster
        if (!classes.directory) throw new IOException("$classes cannot be made")
    }
    long month = System.currentTimeMillis() - 30L * 24 * 3600 * 1000
    cache.listFiles().findAll { it.lastModified() < month }.each { it.deleteDir() }
    return classes
}

/** Return DL4Fiji's folder, as dl4fiji.Installation does. */
File home(File library) {
    String told = System.getProperty('dl4fiji.home') ?: System.getenv('DL4FIJI_HOME')
    File record = new File(library, 'install.json')
    if (!told && record.file) told = new JsonSlurper().parse(record, 'UTF-8').home
    if (!told) throw new IOException('it is not known')
    return new File(told)
}
