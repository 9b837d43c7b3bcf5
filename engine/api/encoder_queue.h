/*
 * encoder_queue.h - a bounded queue in front of an encoder, for programs that
 * wait for many clients at once: what was asked at about the same time is
 * computed together, in threads of the queue, and a descriptor becomes readable
 * when there is a reply.
 *
 * Part of the public C API (include "bertlua.h"). The text between the two
 * CDEF markers is plain C without macros: the Lua bindings feed it to ffi.cdef
 * as it stands.
 *
 * Any thread may call any function at any time, but for bl_encoder_queue_free.
 * None of them waits for a computation, but for bl_encoder_queue_free.
 */
#ifndef BERTLUA_API_ENCODER_QUEUE_H
#define BERTLUA_API_ENCODER_QUEUE_H

#include "encoder.h"

/* CDEF-BEGIN */

typedef struct bl_encoder_queue bl_encoder_queue;

/* All zero stands for the defaults. */
typedef struct bl_encoder_queue_options {
    int32_t workers;      /* threads that call the encoder; 0: 1 */
    int32_t max_texts;    /* most texts that wait or are computed; 0: 512 */
    int32_t batch_texts;  /* most texts of several requests computed together; 0: 32 */
    int32_t batch_tokens; /* the same in tokens; 0: 8192 */
    uint64_t memory;      /* most bytes of texts and results, from submit to release; 0: 256 MiB */
} bl_encoder_queue_options;

/* Its threads call the encoder, which must not be freed before the queue. */
bl_status bl_encoder_queue_create(bl_encoder_queue **out, bl_encoder *encoder, const bl_encoder_queue_options *options);
/*
 * Drop what waits, wait for what is being computed, and free the queue with all
 * replies. No other call may be running. NULL is allowed.
 */
void bl_encoder_queue_free(bl_encoder_queue *queue);

/* The question, one for each text. */
typedef enum bl_ask {
    BL_ASK_EMBED = 0,    /* its vector, as bl_encoder_embed */
    BL_ASK_HIDDEN = 1,   /* the vectors of its tokens, as bl_encoder_hidden */
    BL_ASK_CLASSIFY = 2, /* its scores, as bl_encoder_classify */
    BL_ASK_ANSWER = 3,   /* texts are questions, pairs their contexts, as bl_encoder_answer_question */
    BL_ASK_FILL_MASK = 4 /* words for its masks, as bl_encoder_fill_mask */
} bl_ask;

/* Everything is copied by bl_encoder_queue_submit. */
typedef struct bl_request {
    int32_t ask; /* bl_ask */
    int32_t count;
    const char *const *texts; /* [count] */
    const char *const *pairs; /* [count] or NULL; CLASSIFY and ANSWER. Entries may be NULL for CLASSIFY */
    int32_t pooling;          /* EMBED: bl_pooling */
    int32_t top;              /* ANSWER: answers of a text; FILL_MASK: words of a mask; at least 1 there */
    bool allow_none;          /* ANSWER */
    bool truncate;            /* texts of more than the encoder's max_length lose their end; otherwise they are refused.
                                 FILL_MASK always refuses them, ANSWER never: it reads a long context in windows */
} bl_request;

/* In place of a ticket: try again later, or never. */
enum { BL_TICKET_FULL = 0, BL_TICKET_STOPPED = -1 };

/*
 * Put a request into the queue. *ticket is 1 or more, or one of the above. A
 * request that could never fit is an error.
 */
bl_status bl_encoder_queue_submit(bl_encoder_queue *queue, const bl_request *request, int64_t *ticket);

/* What became of a request. Pointers are valid until it is released. */
typedef struct bl_reply {
    int64_t ticket;
    int32_t ask;
    int32_t status;      /* bl_status; BL_ERROR_ARGUMENT: the texts are to blame */
    const char *message; /* NULL if the status is BL_OK */
    int32_t too_long;    /* 1 and more: the number of the text that was refused because it is too long; 0: none was */
    int32_t count;
    const int32_t *lengths;           /* [count] tokens of each text before it is cut; NULL if they are not known */
    int64_t tokens;                   /* read by the model: of each text at most max_length, unless read in windows */
    int64_t width;                    /* of a row of values */
    const int64_t *rows;              /* [count] HIDDEN: tokens; ANSWER: answers; FILL_MASK: masks of each text */
    const float *values;              /* EMBED, CLASSIFY: [count, width]; HIDDEN: [sum of rows, width] */
    const bl_encoder_answer *answers; /* ANSWER: [sum of rows] */
    const bl_guess *guesses;          /* FILL_MASK: [sum of rows, top] */
    int32_t batch_texts;              /* texts it was computed together with, its own included */
    int64_t waited;                   /* nanoseconds in the queue */
    int64_t computed;                 /* nanoseconds of the computation, of all texts of the batch */
} bl_reply;

/*
 * The next reply, in the order in which they were done; NULL if there is none
 * now. To be released.
 */
bl_reply *bl_encoder_queue_next(bl_encoder_queue *queue);
/* NULL is allowed. */
void bl_encoder_queue_release(bl_encoder_queue *queue, bl_reply *reply);
/* A descriptor to wait on (poll, epoll): readable while there are replies. It is the queue's: neither read nor close
 * it. */
int32_t bl_encoder_queue_descriptor(const bl_encoder_queue *queue);

/*
 * Nobody waits for this ticket any more: it is not computed, if that has not
 * begun, and has no reply. False if its reply was taken or there is no such
 * ticket.
 */
bool bl_encoder_queue_cancel(bl_encoder_queue *queue, int64_t ticket);
/* Take no more requests. What is in the queue is computed. */
void bl_encoder_queue_stop(bl_encoder_queue *queue);

enum { BL_BATCH_SIZES = 12 };
typedef struct bl_encoder_queue_info {
    int64_t waiting;   /* texts */
    int64_t computing; /* texts */
    int64_t replies;   /* requests that are done, their replies not taken */
    uint64_t bytes;    /* of texts and results held now */
    uint64_t batches;  /* since the start, as are those below */
    uint64_t texts;
    uint64_t tokens;
    uint64_t batch_sizes[12]; /* batches of 1 text, of at most 2, 4, 8, ..., and of more than 1024 */
    double busy;              /* seconds that workers computed */
} bl_encoder_queue_info;
void bl_encoder_queue_describe(bl_encoder_queue *queue, bl_encoder_queue_info *out);

/* CDEF-END */

#endif
