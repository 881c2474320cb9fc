package dl4fiji

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.nio.charset.StandardCharsets

/** Speaks with the service over HTTP on this machine; errors of the service become {@link Fault}s. */
class Client {
    static final int CONNECT_MS = 5_000
    static final int READ_MS = 60_000

    /** Address of the service without the path, e.g. http://127.0.0.1:41234. */
    final String url
    private final String token

    Client(String url, String token) {
        this.url = url
        this.token = token
    }

    /** Return the parsed JSON that {@code GET /api/v1/path} answers. */
    Object get(String path, int readMs = READ_MS) { send('GET', path, null, readMs) }

    /** Send {@code body} as JSON by {@code POST /api/v1/path} and return the parsed answer. */
    Object post(String path, Object body = [:]) { send('POST', path, body, READ_MS) }

    /** Return a text as one segment of a path. */
    static String segment(String text) {
        URLEncoder.encode(text, 'UTF-8').replace('+', '%20')
    }

    /** Return the content that {@code GET /api/v1/path} answers. */
    byte[] download(String path) { exchange('GET', path, null, READ_MS, '*/*') }

    private Object send(String method, String path, Object body, int readMs) {
        byte[] content = exchange(method, path, body, readMs, 'application/json, application/problem+json')
        return content.length == 0 ? null : new JsonSlurper().parseText(new String(content, StandardCharsets.UTF_8))
    }

    private byte[] exchange(String method, String path, Object body, int readMs, String accept) {
        HttpURLConnection connection =
            (HttpURLConnection) new URL("$url/api/v1$path").openConnection(Proxy.NO_PROXY)
        try {
            connection.requestMethod = method
            connection.connectTimeout = CONNECT_MS
            connection.readTimeout = readMs
            connection.setRequestProperty('Authorization', "Bearer $token")
            connection.setRequestProperty('Accept', accept)
            if (body != null) {
                connection.doOutput = true
                connection.setRequestProperty('Content-Type', 'application/json; charset=utf-8')
                connection.outputStream.withCloseable { it.write(JsonOutput.toJson(body).getBytes(StandardCharsets.UTF_8)) }
            }
            int status = connection.responseCode
            byte[] content = read(status < 400 ? connection.inputStream : connection.errorStream)
            if (status >= 400) throw fault(status, new String(content, StandardCharsets.UTF_8))
            return content
        } catch (IOException error) {
            throw new Unreachable("The DL4Fiji service at $url does not answer (${error.message}): " +
                'Plugins ▸ DL4Fiji ▸ Service ▸ Start DL4Fiji Service starts it.')
        } finally {
            connection.disconnect()
        }
    }

    private static byte[] read(InputStream stream) {
        stream == null ? new byte[0] : stream.withCloseable { it.bytes }
    }

    private static Fault fault(int status, String text) {
        Map problem = [:]
        try {
            Object parsed = new JsonSlurper().parseText(text)
            if (parsed instanceof Map) problem = (Map) parsed
        } catch (RuntimeException ignored) {
            problem = [detail: "The DL4Fiji service answered with status $status: see its log in DL4Fiji's folder."]
        }
        return new Fault((problem.detail ?: "The DL4Fiji service answered with status $status.") as String,
            (problem.problems ?: []) as List<String>)
    }
}
