// An int8 network on one engine. program.vh says what each operation reads, writes and repeats; weights.hex and params.hex
// hold its numbers. A row comes in as bytes, its answer leaves as bytes, the place of the largest number beside the last one.
//
// Every operation is a loop over positions, groups of channels and blocks of LANES channels. For each block the taps of a
// window are read one by one and multiplied by LANES weights at once. The sums then leave lane by lane through a pipeline:
//
//     address -> x, w -> product -> sum | + bias -> * multiplier -> rounded -> zero point, clamp -> memory
//
// while the next block is being summed up.

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

`include "program.vh"

    localparam [1:0] LOAD = 0, START = 1, RUN = 2, SEND = 3;
    reg [1:0] state;

    // ---------------------------------------------------------------- memories
    reg [7:0]           bytes [0:BYTES-1];
    reg [8*LANES-1:0]   weights [0:WEIGHTS-1];
    reg [PARAM-1:0]     params [0:PARAMS-1];
    initial $readmemh("weights.hex", weights);
    initial $readmemh("params.hex", params);

    wire          write;
    wire [AW-1:0] write_at, read_at;
    wire [7:0]    written;
    reg  [7:0]    x;
    reg  [8*LANES-1:0] w;

    always @(posedge clk) begin
        if (write) bytes[write_at] <= written;
        x <= bytes[read_at];
    end

    // ---------------------------------------------------------------- taps: which number and which weight come next
    reg [AW-1:0] at, group_at, corner_at;   // the tap, the first tap of the group, the first tap of the position
    reg [WW-1:0] weight_at;
    reg [CW-1:0] channel, row, column;      // of the tap in its window
    reg [CW-1:0] block, group;
    reg [PW-1:0] out_row, out_column;
    reg [IW-1:0] y, x_at, y_corner, x_corner; // of the tap in its image; beyond the edge they wrap around to large numbers
    reg [LW-1:0] gap;                       // cycles until the lanes of the block before have left

    wire last_column   = !WINDOWS || column == columns_last;
    wire last_row      = !WINDOWS || row == rows_last;
    wire last_tap      = last_column && last_row && channel == channels_last;
    wire last_block    = block == blocks_last;
    wire last_group    = !GROUPS || group == groups_last;
    wire last_position = out_column == out_columns_last && out_row == out_rows_last;
    wire whole         = last_tap || (ADDS && is_add);  // each tap of Add is a sum of its own
    wire go            = state == RUN && !issued && !(whole && gap != 0);
    wire on_image        = !WINDOWS || (y < image_rows && x_at < image_columns);
    reg  issued;                            // all taps of the operation are on their way

    wire [LW-1:0] lanes_now = last_block ? lanes_last : LANES;
    wire [AW-1:0] next_group_at  = last_group ? next_corner_at : group_at + step_group;
    wire [AW-1:0] next_corner_at = corner_at + (out_column == out_columns_last ? move_row : move_column);

    assign read_at = state == SEND ? send_at : at;

    always @(posedge clk) begin
        if (gap != 0) gap <= gap - 1'b1;
        if (state == START) begin
            at <= source; group_at <= source; corner_at <= source;
            if (WINDOWS) begin
                at <= source - corner; group_at <= source - corner; corner_at <= source - corner;
                y <= -corner_rows; y_corner <= -corner_rows;
                x_at <= -corner_columns; x_corner <= -corner_columns;
            end
            weight_at <= weights_from;
            channel <= 0; row <= 0; column <= 0; block <= 0; group <= 0; out_row <= 0; out_column <= 0;
            issued <= 0;
            gap <= 0;
        end else if (go) begin
            weight_at <= weight_at + 1'b1;
            if (whole) gap <= lanes_now - 1'b1;
            if (!last_tap) begin
                if (!last_column) begin
                    column <= column + 1'b1; x_at <= x_at + 1'b1; at <= at + 1'b1;
                end else if (!last_row) begin
                    column <= 0; x_at <= x_corner;
                    row <= row + 1'b1; y <= y + 1'b1; at <= at + step_row;
                end else begin
                    column <= 0; x_at <= x_corner; row <= 0; y <= y_corner;
                    channel <= channel + 1'b1; at <= at + step_channel;
                end
            end else begin
                channel <= 0; row <= 0; column <= 0; y <= y_corner; x_at <= x_corner;
                if (!last_block) begin
                    block <= block + 1'b1; at <= group_at;
                end else begin
                    block <= 0; at <= next_group_at; group_at <= next_group_at;
                    group <= last_group ? {CW{1'b0}} : group + 1'b1;
                    if (last_group) begin
                        weight_at <= weights_from;
                        corner_at <= next_corner_at;
                        issued <= last_position;
                        if (out_column == out_columns_last) begin
                            out_column <= 0; out_row <= out_row + 1'b1;
                            x_corner <= -corner_columns; x_at <= -corner_columns;
                            y_corner <= y_corner + stride_rows; y <= y_corner + stride_rows;
                        end else begin
                            out_column <= out_column + 1'b1;
                            x_corner <= x_corner + stride_columns; x_at <= x_corner + stride_columns;
                        end
                    end
                end
            end
        end
    end

    always @(posedge clk) w <= weights[weight_at];

    // ---------------------------------------------------------------- sums: read, multiply, add
    reg read_valid, read_first, read_last, read_ends, read_on_image;
    reg mul_valid, mul_first, mul_last, mul_ends;
    reg sum_last, sum_ends;
    reg [LW-1:0] read_lanes, mul_lanes, sum_lanes;
    reg fresh;                              // the next tap begins a sum

    wire signed [7:0] seen = read_on_image ? x : pad;
    reg  signed [15:0]    product [0:LANES-1];
    reg  signed [ACC-1:0] sum [0:LANES-1];

    always @(posedge clk) begin
        read_valid <= go; read_first <= fresh; read_last <= go && whole; read_lanes <= lanes_now;
        read_ends <= last_tap && last_block && last_group; read_on_image <= on_image;
        mul_valid <= read_valid; mul_first <= read_first; mul_last <= read_last; mul_lanes <= read_lanes;
        mul_ends <= read_ends;
        sum_last <= mul_last; sum_lanes <= mul_lanes; sum_ends <= mul_ends;
        if (state == START) fresh <= 1;
        else if (go) fresh <= whole;
        if (rst) begin
            read_valid <= 0; read_last <= 0; mul_valid <= 0; mul_last <= 0; sum_last <= 0;
        end
    end

    genvar lane;
    generate
        for (lane = 0; lane < LANES; lane = lane + 1) begin : lanes
            wire signed [7:0] weight = w[8*lane +: 8];
            wire signed [15:0] plain = seen;
            // Pools, Add and Clip take the number as it is, in the first lane.
            always @(posedge clk) product[lane] <= is_unit && lane == 0 ? plain : seen * weight;
            always @(posedge clk) if (mul_valid) begin
                if (mul_first) sum[lane] <= product[lane];
                else if (MAXES && is_max && lane == 0) begin
                    if (product[lane] > sum[lane]) sum[lane] <= product[lane];
                end else sum[lane] <= sum[lane] + product[lane];
            end
        end
    endgenerate

    // ---------------------------------------------------------------- one sum a cycle: bias, multiplier, rounding
    reg signed [ACC-1:0] held [0:LANES-1];
    reg [LW-1:0] left;
    reg          held_ends;
    reg [MW-1:0] param_at;
    reg [PARAM-1:0] param;
    wire signed [SUM-1:0] bias = param[PARAM-1 -: SUM];
    wire [MUL-1:0] multiplier  = param[MUL-1:0];
    wire leaving = left != 0;
    wire ends    = left == 1 && held_ends;  // the last sum of its position

    integer i;
    always @(posedge clk) begin
        if (sum_last) begin
            for (i = 0; i < LANES; i = i + 1) held[i] <= sum[i];
            left <= sum_lanes; held_ends <= sum_ends;
        end else if (leaving) begin
            for (i = 0; i + 1 < LANES; i = i + 1) held[i] <= held[i + 1];
            left <= left - 1'b1;
        end
        if (state == START) param_at <= params_from;
        else if (leaving) param_at <= ends ? params_from : param_at + 1'b1;
        if (rst) left <= 0;
    end

    always @(posedge clk) param <= params[param_at];

    localparam LOW = MUL / 2 > 0 ? MUL / 2 : 1, HIGH = MUL - LOW > 0 ? MUL - LOW : 1;
    localparam [PROD-1:0] HALF = ({{(PROD-1){1'b0}}, 1'b1} << (SHIFT - 1)) - 1'b1;
    reg v1, v2, v3, v4, v5, v6, e1, e2, e3, e4, e5, e6;
    reg signed [ACC-1:0]  alone;
    reg signed [SUM-1:0]  biased;
    reg [MUL-1:0]         factor;
    reg signed [PROD-1:0] low_part, high_part, total, kept, rounded, shifted;
    wire signed [LOW:0]   low_factor = {1'b0, factor[LOW-1:0]};
    wire signed [HIGH:0]  high_factor = MUL > LOW ? {1'b0, factor[MUL-1 -: HIGH]} : 0;
    wire signed [PROD-1:0] parts = low_part + (high_part <<< LOW);

    always @(posedge clk) begin
        v1 <= leaving; e1 <= ends; alone <= held[0];
        v2 <= v1; e2 <= e1; biased <= alone + bias; factor <= multiplier;
        v3 <= v2; e3 <= e2; low_part <= biased * low_factor; high_part <= biased * high_factor;
        // Add: the product of the first number waits for that of the second.
        v4 <= v3 && !(ADDS && is_add && !e3); e4 <= e3;
        if (v3) kept <= parts;
        total <= ADDS && is_add ? parts + kept + extra : parts;
        v5 <= v4; e5 <= e4;
        // Halves go to the even number: what is added is half a unit less one, and the last bit that stays.
        rounded <= $signed(total + HALF + total[SHIFT]) >>> SHIFT;
        v6 <= v5; e6 <= e5; shifted <= rounded + zero_point;
        if (rst) begin
            v1 <= 0; v2 <= 0; v3 <= 0; v4 <= 0; v5 <= 0; v6 <= 0;
        end
    end

    wire busy = read_valid || mul_valid || sum_last || leaving || v1 || v2 || v3 || v4 || v5 || v6;

    reg [AW-1:0] target_at, position_at;
    always @(posedge clk) begin
        if (state == START) begin
            target_at <= target; position_at <= target;
        end else if (v6) begin
            target_at <= e6 ? position_at + 1'b1 : target_at + out_step;
            if (e6) position_at <= position_at + 1'b1;
        end
    end

    wire signed [7:0] clamped = shifted < low ? low : shifted > high ? high : shifted[7:0];
    assign write    = v6 || (state == LOAD && in_valid);
    assign write_at = state == LOAD ? load_at : target_at;
    assign written  = state == LOAD ? in_data : clamped;

    // ---------------------------------------------------------------- rows in, answers out
    reg [AW-1:0] load_at, send_at, sent;
    reg          have;                      // x holds the next byte of the answer
    reg signed [7:0] largest;
    reg [15:0]   largest_at;
    wire         better = sent == 0 || $signed(x) > largest;

    assign in_ready  = state == LOAD;
    assign out_valid = state == SEND && have;
    assign out_data  = x;
    assign out_last  = sent == OUTPUTS - 1;
    assign out_label = better ? sent : largest_at;

    always @(posedge clk) begin
        have <= 0;
        case (state)
            LOAD: if (in_valid) begin
                load_at <= load_at + 1'b1;
                if (load_at == INPUTS - 1) begin
                    state <= START; op <= 0;
                end
            end
            START: state <= RUN;
            RUN: if (issued && !busy) begin
                if (op == OPS - 1) begin
                    state <= SEND; send_at <= RESULT; sent <= 0;
                end else begin
                    op <= op + 1'b1; state <= START;
                end
            end
            SEND: begin
                have <= 1;
                if (have && out_ready) begin
                    have <= 0;
                    send_at <= send_at + 1'b1; sent <= sent + 1'b1;
                    if (better) begin
                        largest <= x; largest_at <= sent;
                    end
                    if (out_last) begin
                        state <= LOAD; load_at <= 0;
                    end
                end
            end
        endcase
        if (rst) begin
            state <= LOAD; load_at <= 0; have <= 0;
        end
    end
endmodule

`default_nettype wire
