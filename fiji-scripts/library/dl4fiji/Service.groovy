package dl4fiji

import groovy.json.JsonSlurper
import java.util.concurrent.TimeUnit

/** Finds the service of this user and starts it where there is none. */
class Service {
    static final int START_SECONDS = 90

    /** Return a client of the running service, or null. */
    static Client find() {
        File home = Installation.home()
        File record = new File(home, 'service.json')
        File token = new File(home, 'token')
        if (!record.isFile() || !token.isFile()) return null
        try {
            Map service = (Map) new JsonSlurper().parse(record, 'UTF-8')
            Client client = new Client(service.url as String, token.getText('UTF-8').trim())
            client.get('/health', 3_000)
            return client
        } catch (Unreachable | groovy.json.JsonException ignored) {
            return null  // ended without a farewell, or is just being started
        }
    }

    /** Return a client of the running service, which is started if need be. */
    static Client connect() {
        Client client = find()
        if (client) return client
        ij.IJ.showStatus('Starting the DL4Fiji service…')
        start()
        client = find()
        if (!client)
            throw new Fault("The DL4Fiji service was started but does not answer: see ${new File(Installation.home(), 'service.log')}.")
        return client
    }

    /** Let DL4Fiji's Python start the service as a process that outlives this Fiji. */
    private static void start() {
        ProcessBuilder builder = new ProcessBuilder(Installation.python(), '-m', 'dl4fiji.fiji.start_service')
        builder.environment().put('DL4FIJI_HOME', Installation.home().path)
        builder.environment().put('PYTHONIOENCODING', 'utf-8')
        builder.redirectErrorStream(true)
        Process process = builder.start()
        process.outputStream.close()
        StringBuffer said = new StringBuffer()
        Thread reader = Thread.start { process.inputStream.eachLine('UTF-8') { said.append(it).append('\n') } }
        if (!process.waitFor(START_SECONDS, TimeUnit.SECONDS)) {
            process.destroy()
            throw new Fault("The DL4Fiji service did not start within $START_SECONDS s: " +
                "see ${new File(Installation.home(), 'service.log')}.")
        }
        reader.join(2_000)
        List<String> lines = said.toString().readLines().findAll { it.trim() }
        if (process.exitValue() != 0)
            throw new Fault(lines ? lines.last() : "The DL4Fiji service could not be started by ${Installation.python()}.")
    }
}
