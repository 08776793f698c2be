// SPDX-License-Identifier: MIT
// Mutate.java: as ../mutate.c.

final class Mutate {
    private static final int STRIDE = 64;
    private static final int STATION_BYTES = STRIDE * (24 + 16) + 8; // as in C

    private static final class Payload {
        final Payload unused = null; // as in C, where it is looked at
        final long value;

        Payload(long value) {
            this.value = value;
        }
    }

    private static final class Node {
        Node next;
        Payload payload;
        final long position;

        Node(Node next, long position, long value) {
            this.next = next;
            this.payload = new Payload(value);
            this.position = position;
        }
    }

    private static void renew(Node at, long random) {
        for (int i = 1; i < STRIDE; i++) {
            Node old = at.next;
            if (((random >>> i) & 1) == 0) {
                at.next = new Node(old.next, old.position, random + i);
            } else {
                old.payload = new Payload(random + i);
            }
            at = at.next;
        }
    }

    public static void main(String[] arguments) {
        long liveMib = Bench.argument(arguments, 0, 170);
        int steps = Bench.argument(arguments, 1, 400000);
        int stationCount = (int) ((liveMib << 20) / STATION_BYTES);
        Node[] stations = new Node[stationCount];
        long nodeCount = (long) stationCount * STRIDE;

        Node list = null;
        for (long i = nodeCount; i-- > 0;) {
            list = new Node(list, i, Bench.mix(i));
            if (i % STRIDE == 0) {
                stations[(int) (i / STRIDE)] = list;
            }
        }

        Bench.Random random = new Bench.Random(7);
        for (int i = 0; i < steps; i++) {
            Node station = stations[(int) random.below(stationCount)];
            renew(station, random.next());
        }

        long answer = 0;
        long position = 0;
        for (Node node = list; node != null; node = node.next) {
            if (node.position != position++) {
                throw Bench.fail("the list is out of order");
            }
            answer = Bench.mix(answer ^ node.payload.value);
        }
        if (position != nodeCount) {
            throw Bench.fail("the list lost nodes");
        }
        Bench.say(answer, "");
    }
}
