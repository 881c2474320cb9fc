package dl4fiji

/** The service does not answer (any more). */
class Unreachable extends Fault {
    Unreachable(String sentence) { super(sentence) }
}
