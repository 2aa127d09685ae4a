/* YAML (libyaml) as a small tree with line and column of every node. Anchors, tags and multiple
 * documents are refused; duplicate keys are refused; at most 100,000 nodes and 32 levels. */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/arena.h"
#include "base/bytes.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    int line;         /* from 1 */
    int column;       /* from 1 */
    struct slice key; /* of this node within its map; absent elsewhere */
    int key_line, key_column;
    struct slice text;       /* scalars */
    struct yaml_node *first; /* children of lists and maps, in file order */
    struct yaml_node *next;
};

/* The tree lives in `arena`. An empty text gives an empty map. Errors name line and column. */
leat_status yaml_parse(struct arena *arena, struct slice text, struct yaml_node **out,
                       leat_error *err);

#endif
