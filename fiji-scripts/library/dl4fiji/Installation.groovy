package dl4fiji

import groovy.json.JsonSlurper

/**
 * Where DL4Fiji's Python and its folder are: told by the session that started this Fiji (system properties), or recorded
 * beside this library by {@code dl4fiji install}.
 */
class Installation {
    static final File LIBRARY = new File(System.getProperty('dl4fiji.library') ?:
        "${ij.IJ.getDirectory('imagej')}dl4fiji")

    /** The Python that DL4Fiji is installed in. */
    static String python() {
        String path = System.getProperty('dl4fiji.python') ?: recorded().python
        if (!path)
            throw new Fault("This Fiji does not know DL4Fiji's Python: run `dl4fiji install --app` with this " +
                "Fiji's folder once more.")
        if (!new File(path).isFile())
            throw new Fault("DL4Fiji's Python $path is gone: run `dl4fiji install --app` with this Fiji's folder " +
                'from where DL4Fiji is installed now.')
        return path
    }

    /** The folder of models, jobs and token. */
    static File home() {
        String path = System.getProperty('dl4fiji.home') ?: System.getenv('DL4FIJI_HOME') ?: recorded().home
        if (!path)
            throw new Fault("This Fiji does not know DL4Fiji's folder: run `dl4fiji install --app` with this " +
                "Fiji's folder once more.")
        return new File(path)
    }

    private static Map recorded() {
        File record = new File(LIBRARY, 'install.json')
        return record.isFile() ? (Map) new JsonSlurper().parse(record, 'UTF-8') : [:]
    }
}
