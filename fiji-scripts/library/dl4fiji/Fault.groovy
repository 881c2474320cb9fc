package dl4fiji

/** An error that a user meets: one sentence that says what, where and how to mend it. */
class Fault extends RuntimeException {
    /** All findings, where there are several; the message then is the first of them. */
    final List<String> problems

    Fault(String sentence, List<String> problems = []) {
        super(sentence)
        this.problems = problems
    }
}
