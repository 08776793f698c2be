// SPDX-License-Identifier: MIT
// Gcbench.java: as ../gcbench.c.

final class Gcbench {
    private static final int STRETCH_DEPTH = 20;
    private static final int LONG_LIVED_DEPTH = 18;
    private static final int ARRAY_COUNT = 2000000;
    private static final int DEPTH_MIN = 4;
    private static final int DEPTH_MAX = 18;

    private static final class Node {
        Node left;
        Node right;
        int i;
        int j;

        Node() {
        }

        Node(Node left, Node right) {
            this.left = left;
            this.right = right;
        }

        void populate(int depth) {
            if (depth <= 0) {
                return;
            }
            left = new Node();
            right = new Node();
            left.populate(depth - 1);
            right.populate(depth - 1);
        }

        static Node build(int depth) {
            return depth <= 0 ? new Node()
                : new Node(build(depth - 1), build(depth - 1));
        }

        long count() {
            return left == null ? 1 : 1 + left.count() + right.count();
        }

        void expect(int depth) {
            if (count() != size(depth)) {
                throw Bench.fail("a tree lost nodes");
            }
        }
    }

    private static long size(int depth) {
        return (2L << depth) - 1;
    }

    private static long treesOf(int depth) {
        long trees = 2 * size(STRETCH_DEPTH) / size(depth);
        for (long i = 1; i <= trees; i++) {
            Node tree = new Node();
            tree.populate(depth);
            if (i == trees) {
                tree.expect(depth);
            }
        }
        for (long i = 1; i <= trees; i++) {
            Node tree = Node.build(depth);
            if (i == trees) {
                tree.expect(depth);
            }
        }
        return trees;
    }

    public static void main(String[] arguments) {
        Node.build(STRETCH_DEPTH).expect(STRETCH_DEPTH);

        Node longLived = new Node();
        longLived.populate(LONG_LIVED_DEPTH);
        double[] array = new double[ARRAY_COUNT];
        for (int i = 0; i < ARRAY_COUNT / 2; i++) {
            array[i] = 1.0 / (i + 1);
        }

        long answer = 0;
        for (int depth = DEPTH_MIN; depth <= DEPTH_MAX; depth += 2) {
            answer = Bench.mix(answer ^ treesOf(depth));
        }

        longLived.expect(LONG_LIVED_DEPTH);
        for (int i = 0; i < ARRAY_COUNT / 2; i++) {
            if (array[i] != 1.0 / (i + 1)) {
                throw Bench.fail("the array changed");
            }
        }
        Bench.say(Bench.mix(answer ^ longLived.count()), "");
    }
}
