// Trees over ranks, walked one after the other. trees.vh holds the sizes; nodes.hex, votes.hex, roots.hex and base.hex the trees.
//
// A row comes in as the rank of each feature, one byte or two with the low one first. A node asks whether the rank of its feature
// is at most its threshold and leads to one of two others; a leaf has votes, each of which adds a number to a class. The sums
// leave as four bytes each, the low one first, with the place of the largest beside the last byte.

`default_nettype none

module core (
    input  wire                clk,
    input  wire                rst,
    input  wire                in_valid,
    output wire                in_ready,
    input  wire [7:0]          in_data,
    output wire                out_valid,
    input  wire                out_ready,
    output wire [7:0]          out_data,
    output wire                out_last,
    output wire [15:0]         out_label
);

`include "trees.vh"

    localparam [2:0] LOAD = 0, BASE = 1, FETCH = 2, ASK = 3, GO = 4, VOTE = 5, COUNT = 6, SEND = 7;
    reg [2:0] state;

    // ---------------------------------------------------------------- memories
    reg [NODE-1:0] nodes [0:NODES-1];
    reg [VOTE_BITS-1:0] votes [0:VOTES-1];
    reg [LINK-1:0] roots [0:TREES-1];
    reg [31:0]     base [0:CLASSES-1];
    reg [RANK-1:0] ranks [0:FEATURES-1];
    reg [31:0]     sums [0:CLASSES-1];
    initial $readmemh("nodes.hex", nodes);
    initial $readmemh("votes.hex", votes);
    initial $readmemh("roots.hex", roots);
    initial $readmemh("base.hex", base);

    reg [LINK-1:0] node_at, vote_at;
    reg [NODE-1:0] node;
    reg [VOTE_BITS-1:0] vote;
    reg [RANK-1:0] rank;
    always @(posedge clk) begin
        node <= nodes[node_at];
        vote <= votes[vote_at];
        rank <= ranks[feature];
    end

    // A node: leaf, feature, threshold, left, right; left and right of a leaf are where its votes begin and end.
    wire            leaf      = node[NODE-1];
    wire [FW-1:0]   feature   = node[2*LINK+RANK +: FW];
    wire [RANK-1:0] threshold = node[2*LINK +: RANK];
    wire [LINK-1:0] left      = node[LINK +: LINK];
    wire [LINK-1:0] right     = node[0 +: LINK];
    wire [KW-1:0]   vote_class = vote[32 +: KW];

    // ---------------------------------------------------------------- rows in
    reg [FW-1:0] loaded;
    reg          high_byte;            // the second byte of a rank comes next
    reg [7:0]    low_byte;
    wire         taken = state == LOAD && in_valid && (RANK == 8 || high_byte);
    wire [15:0]  given = {in_data, low_byte};
    always @(posedge clk) if (taken) ranks[loaded] <= RANK == 8 ? in_data : given[RANK-1:0];

    // ---------------------------------------------------------------- sums
    reg [KW-1:0]  class_at;
    wire [KW-1:0] counted = state == BASE ? class_at : vote_class;
    wire          count   = state == BASE || state == COUNT;
    wire [31:0]   sum     = sums[state == SEND ? class_at : vote_class];
    wire [31:0]   counted_sum = state == BASE ? base[class_at] : sum + vote[31:0];
    always @(posedge clk) if (count) sums[counted] <= counted_sum;

    // ---------------------------------------------------------------- the walk, and answers out
    reg [TW-1:0] tree;
    reg [1:0]    byte_at;
    reg signed [31:0] largest;
    reg [15:0]   largest_at;
    wire         better = class_at == 0 || $signed(sum) > largest;

    assign in_ready  = state == LOAD;
    assign out_valid = state == SEND;
    assign out_data  = sum[8*byte_at +: 8];
    assign out_last  = byte_at == 3 && class_at == CLASSES - 1;
    assign out_label = better ? class_at : largest_at;

    always @(posedge clk) begin
        case (state)
            LOAD: if (in_valid) begin
                low_byte <= in_data;
                high_byte <= RANK > 8 && !high_byte;
                if (taken) loaded <= loaded + 1'b1;
                if (taken && loaded == FEATURES - 1) begin
                    state <= BASE; class_at <= 0;
                end
            end
            BASE: begin
                class_at <= class_at + 1'b1;
                if (class_at == CLASSES - 1) begin
                    state <= FETCH; tree <= 0; node_at <= roots[0];
                end
            end
            FETCH: state <= ASK;                    // the node is read
            ASK: begin                              // its feature is read
                state <= leaf ? VOTE : GO;
                vote_at <= left;
            end
            GO: begin
                node_at <= rank <= threshold ? left : right;
                state <= FETCH;
            end
            VOTE: if (vote_at != right) state <= COUNT;   // the vote is read
            else if (tree == TREES - 1) begin
                state <= SEND; class_at <= 0; byte_at <= 0;
            end else begin
                tree <= tree + 1'b1; node_at <= roots[tree + 1'b1]; state <= FETCH;
            end
            COUNT: begin
                vote_at <= vote_at + 1'b1; state <= VOTE;
            end
            SEND: if (out_ready) begin
                byte_at <= byte_at + 1'b1;
                if (byte_at == 3) begin
                    class_at <= class_at + 1'b1;
                    if (better) begin
                        largest <= sum; largest_at <= class_at;
                    end
                end
                if (out_last) begin
                    state <= LOAD; loaded <= 0; high_byte <= 0;
                end
            end
        endcase
        if (rst) begin
            state <= LOAD; loaded <= 0; high_byte <= 0;
        end
    end
endmodule

`default_nettype wire
