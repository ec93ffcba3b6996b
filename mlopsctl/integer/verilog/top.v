// The circuit behind a serial line, 8 bits, no parity, one stop bit: a row comes in byte by byte, then the bytes of its answer go
// out, then the place of the largest number as two bytes, the low one first. Send the next row after that.
//
// A row of which nothing came for 2**IDLE cycles is forgotten, so that both sides agree again after a lost byte.

`default_nettype none
`include "board.vh"

module top (
    input  wire clk,
    input  wire rx,
    output wire tx,
    output wire led
`ifdef ALIVE
    , output wire alive
`endif
);
`ifdef ALIVE
    assign alive = 1'b1;
`endif

    // ---------------------------------------------------------------- reset, at the start and after half a row
    reg [3:0]    started = 0;
    reg [`IDLE:0] idle = 0;
    wire         rst = !(&started) || idle[`IDLE];
    always @(posedge clk) if (!(&started)) started <= started + 1'b1;

    // ---------------------------------------------------------------- a byte in: the middle of each bit is looked at
    reg [1:0]  line = 2'b11;
    reg [15:0] rx_wait = 0;
    reg [3:0]  rx_bit = 0;     // 0 waits for a start bit, 1 is in it, 2 to 9 are data, 10 is the stop bit
    reg [7:0]  rx_byte = 0;
    reg        received = 0;
    always @(posedge clk) begin
        line <= {line[0], rx};
        received <= 0;
        if (rx_bit == 0) begin
            if (!line[1]) begin
                rx_bit <= 1; rx_wait <= `DIVIDER / 2 - 1;
            end
        end else if (rx_wait != 0) rx_wait <= rx_wait - 1'b1;
        else begin
            rx_wait <= `DIVIDER - 1;
            rx_bit <= rx_bit + 1'b1;
            if (rx_bit == 1 && line[1]) rx_bit <= 0;        // too short for a start bit
            else if (rx_bit >= 2 && rx_bit <= 9) rx_byte <= {line[1], rx_byte[7:1]};
            else if (rx_bit == 10) begin
                rx_bit <= 0; received <= line[1];
            end
        end
    end

    // ---------------------------------------------------------------- the network or the trees
    wire        in_ready, out_valid, out_last;
    wire [7:0]  out_data;
    wire [15:0] out_label;
    wire        out_ready = !sending && tail == 0;
    core circuit (
        .clk(clk), .rst(rst),
        .in_valid(received), .in_ready(in_ready), .in_data(rx_byte),
        .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data), .out_last(out_last), .out_label(out_label)
    );
    always @(posedge clk) begin
        if (received || !in_ready || idle[`IDLE]) idle <= 0;
        else idle <= idle + 1'b1;
    end

    // ---------------------------------------------------------------- bytes out: the answer, then the label
    reg        sending = 0;
    reg [1:0]  tail = 0;       // bytes of the label that still have to go
    reg [15:0] label = 0;
    reg [15:0] tx_wait = 0;
    reg [3:0]  tx_bits = 0;
    reg [9:0]  tx_shift = 10'h3FF;
    always @(posedge clk) begin
        if (!sending) begin
            if (tail != 0) begin
                tx_shift <= {1'b1, label[7:0], 1'b0}; label <= {8'd0, label[15:8]};
                tail <= tail - 1'b1; sending <= 1; tx_bits <= 9; tx_wait <= `DIVIDER - 1;
            end else if (out_valid) begin
                tx_shift <= {1'b1, out_data, 1'b0}; sending <= 1; tx_bits <= 9; tx_wait <= `DIVIDER - 1;
                if (out_last) begin
                    tail <= 2; label <= out_label;
                end
            end
        end else if (tx_wait != 0) tx_wait <= tx_wait - 1'b1;
        else begin
            tx_wait <= `DIVIDER - 1;
            tx_shift <= {1'b1, tx_shift[9:1]};
            tx_bits <= tx_bits - 1'b1;
            if (tx_bits == 0) sending <= 0;
        end
    end
    assign tx = sending ? tx_shift[0] : 1'b1;
    assign led = in_ready ^ `LED_LOW;       // lit while it computes
endmodule

`default_nettype wire
