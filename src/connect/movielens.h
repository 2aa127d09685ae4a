/* MovieLens 100K: u.data (ratings), u.item (movies, Latin-1), u.user (people), u.genre. */
#ifndef CONNECT_MOVIELENS_H
#define CONNECT_MOVIELENS_H

#include "base/file.h"
#include "connect/dataset.h"

enum { MOVIELENS_GENRES_MAX = 32, MOVIELENS_RATING_MAX = 5, MOVIELENS_NAME_MAX = 32 };

struct movielens_rating {
    int64_t time_s; /* since 1970 */
    uint32_t user;
    uint32_t item;
    uint8_t rating; /* 1..5 */
};

struct movielens_item {
    uint32_t item;
    uint32_t genres; /* bits, by the number that u.genre gives */
    size_t title;    /* where it stands in `text`, UTF-8, with a NUL */
};

struct movielens_user {
    uint32_t user;
    uint8_t age;
    char gender[2];
    char occupation[MOVIELENS_NAME_MAX];
};

struct movielens {
    struct movielens_rating *ratings; /* in order of (time, user, item) */
    struct movielens_item *items;     /* as read */
    struct movielens_user *users;     /* as read */
    size_t rating_count, item_count, user_count;
    int genre_count;
    char genres[MOVIELENS_GENRES_MAX][MOVIELENS_NAME_MAX];
    struct bytes text;
};

/* LEAT_INVALID when one of the four files is not there. Malformed rows, a second row of the same
 * movie or person, and ratings by or of somebody unknown are refused. */
leat_status movielens_read(struct disk *disk, const char *folder, struct refusals *refusals,
                           struct movielens *out, leat_error *err);
void movielens_free(struct movielens *data);

static inline const char *movielens_title(const struct movielens *data,
                                          const struct movielens_item *item) {
    return (const char *)data->text.data + item->title;
}

#endif
