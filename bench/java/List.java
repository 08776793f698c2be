// SPDX-License-Identifier: MIT
// List.java: as ../list.c.

final class List {
    private static final int NODE_BYTES = 24; // as in C
    private static final int CHAIN_LENGTH = 16;

    private static final class Node {
        Node next;
        final long position;
        final long value;

        Node(Node next, long position, long value) {
            this.next = next;
            this.position = position;
            this.value = value;
        }
    }

    private static Node build(long nodeCount) {
        Node list = null;
        for (long i = nodeCount; i-- > 0;) {
            list = new Node(list, i, Bench.mix(i));
        }
        return list;
    }

    private static long visitChain(long value) {
        Node chain = null;
        for (int i = 0; i < CHAIN_LENGTH; i++) {
            chain = new Node(chain, i, value + i);
        }
        long sum = 0;
        for (Node node = chain; node != null; node = node.next) {
            sum += node.value ^ node.position;
        }
        return sum;
    }

    private static void mutate(Node list, int steps, Bench.Random random) {
        Node at = list;
        for (int i = 0; i < steps; i++) {
            long value = visitChain(random.next());
            for (long count = 1 + random.below(4); count > 0; count--) {
                at = at.next == null ? list : at.next;
            }
            Node old = at.next;
            if (old != null) {
                at.next = new Node(old.next, old.position, value);
            }
        }
    }

    public static void main(String[] arguments) {
        long liveMib = Bench.argument(arguments, 0, 504);
        int steps = Bench.argument(arguments, 1, 10000000);
        long nodeCount = (liveMib << 20) / NODE_BYTES;
        Bench.Random random = new Bench.Random(17);
        Node list = build(nodeCount);
        mutate(list, steps, random);
        long answer = 0;
        long position = 0;
        for (Node node = list; node != null; node = node.next) {
            if (node.position != position++) {
                throw Bench.fail("the list is out of order");
            }
            answer = Bench.mix(answer ^ node.value);
        }
        if (position != nodeCount) {
            throw Bench.fail("the list lost nodes");
        }
        Bench.say(answer, "");
    }
}
