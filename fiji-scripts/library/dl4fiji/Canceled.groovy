package dl4fiji

/** The user closed a dialog without OK: nothing is to be done and nothing to be said. */
class Canceled extends RuntimeException {
}
