/*
 * arguments.c - see arguments.h.
 */
#include "wiki/arguments.h"

bool bl_arguments_next(bl_arguments *list, bl_argument *found) {
    if (list->p >= list->end) return false;
    const char *begin = list->p + 1;
    const char *stop = bl_markup_bar(list->w, begin, list->end);
    list->p = stop;
    const char *equals = begin;
    while (equals < stop && *equals != '=' && *equals != '[' && *equals != '{' && *equals != '<')
        equals++;
    *found = (bl_argument){.value = begin, .end = stop, .key = begin, .key_end = begin};
    if (equals == stop || *equals != '=') {
        found->number = ++list->position;
        return true;
    }
    found->key_end = equals;
    bl_markup_trim(&found->key, &found->key_end);
    if (found->key_end - found->key == 1 && *found->key >= '1' && *found->key <= '9') found->number = *found->key - '0';
    if (bl_markup_is_word(found->key, found->key_end, "text") || bl_markup_is_word(found->key, found->key_end, "quote"))
        found->number = 1;
    found->value = equals + 1;
    bl_markup_trim(&found->value, &found->end);
    return true;
}

bool bl_arguments_pick(bl_arguments list, int wanted, const char *name, size_t length, bl_argument *picked) {
    bl_argument next;
    bool found = false;
    while (bl_arguments_next(&list, &next)) {
        bool same = name ? (size_t) (next.key_end - next.key) == length && memcmp(next.key, name, length) == 0
                         : next.number > 0 && (wanted == 0 || next.number == wanted);
        if (!same) continue;
        *picked = next;
        found = true;
    }
    if (found) bl_markup_trim(&picked->value, &picked->end);
    return found && picked->value < picked->end;
}

bool bl_arguments_named(bl_arguments list, const char *name, bl_argument *picked) {
    return bl_arguments_pick(list, 0, name, strlen(name), picked);
}

bool bl_arguments_has(bl_arguments list, const char *name) {
    bl_argument found;
    return bl_arguments_named(list, name, &found);
}

int bl_arguments_count(bl_arguments list) {
    bl_argument next;
    int total = 0;
    while (bl_arguments_next(&list, &next))
        total += next.number > 0;
    return total;
}
