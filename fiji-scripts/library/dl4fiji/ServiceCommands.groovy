package dl4fiji

/** Starts and stops the service, tells where things are, helps. */
class ServiceCommands {
    /** Start the service where none runs. */
    Map<String, Object> start(Object module) {
        boolean ran = Service.find() != null
        Client client = Service.connect()
        Gui.log("The DL4Fiji service ${ran ? 'already runs' : 'runs now'} at $client.url.")
        return [url: client.url]
    }

    /** Stop the service; running jobs go on as its rules say. */
    Map<String, Object> stop(Object module) {
        Client client = Service.find()
        if (!client) {
            Gui.log('The DL4Fiji service does not run.')
            return [url: '']
        }
        List<Map> active = ((List<Map>) client.get('/jobs?limit=200')).findAll { it.state in ['QUEUED', 'RUNNING'] }
        if (active && Gui.available() && !Gui.inMacro() && !ij.IJ.showMessageWithCancel('Stop DL4Fiji Service',
            "${active.size()} jobs are not finished. Stop the service all the same?")) throw new Canceled()
        client.post('/service/stop')
        Gui.log('The DL4Fiji service ends.')
        return [url: '']
    }

    /** Show which Python, folder and service this Fiji uses. */
    Map<String, Object> settings(Object module) {
        Client client = Service.find()
        Map<String, String> facts = [
            'Python': Installation.python(), 'Models, jobs and token': Installation.home().path,
            'Service': client ? client.url : 'does not run',
            'Menu scripts': System.getProperty('dl4fiji.scripts') ?: "${ij.IJ.getDirectory('imagej')}scripts/Plugins/DL4Fiji",
            'Script library': Installation.LIBRARY.path]
        String text = facts.collect { name, value -> "$name: $value" }.join('\n')
        if (Gui.available() && !Gui.inMacro())
            ij.IJ.showMessage('DL4Fiji Settings', "$text\n \nTo use another Python or folder, run in a terminal:\n" +
                "    dl4fiji install --app ${ij.IJ.getDirectory('imagej') ?: 'FIJI'}")
        else Gui.log(text)
        return [python: facts.Python, home: Installation.home().path, url: client?.url ?: '']
    }

    /** Say how to begin. */
    Map<String, Object> help(Object module) {
        String text = new File(Installation.LIBRARY, 'help.txt').getText('UTF-8')
        if (Gui.available() && !Gui.inMacro()) new ij.text.TextWindow('DL4Fiji Help', text, 720, 560)
        else Gui.log(text)
        return [:]
    }
}
