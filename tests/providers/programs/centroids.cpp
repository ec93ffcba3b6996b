// Speaks the protocol without a JSON library. As a trainer (no argument) it writes the mean of x for each class and
// copies itself beside it; as `answer FOLDER` it predicts; as `measure` it is a gate: the share of rows with label 1.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>

static std::string text_of(const std::string& json, const std::string& key, size_t from = 0) {
    size_t at = json.find("\"" + key + "\": \"", from);
    size_t begin = at + key.size() + 5;
    return at == std::string::npos ? "" : json.substr(begin, json.find('"', begin) - begin);
}

int main(int argc, char** argv) {
    std::string mode = argc > 1 ? argv[1] : "train";
    if (mode == "answer") {
        double means[2];
        std::ifstream(std::string(argv[2]) + "/means.txt") >> means[0] >> means[1];
        for (std::string line; std::getline(std::cin, line);) {
            double x = std::stod(line.substr(line.find("\"x\": ") + 5));
            std::cout << "{\"label\": " << (std::fabs(x - means[1]) < std::fabs(x - means[0])) << "}\n";
        }
        return 0;
    }
    std::string request{std::istreambuf_iterator<char>(std::cin), {}};
    std::ifstream rows(text_of(request, "path", request.find("\"data\"")));
    std::string line;
    std::getline(rows, line);
    double sums[2] = {0, 0};
    int counts[2] = {0, 0};
    while (std::getline(rows, line)) {
        std::istringstream cells(line);
        std::string id, x, label;
        std::getline(cells, id, ','), std::getline(cells, x, ','), std::getline(cells, label);
        int one = label[0] == '1';
        sums[one] += std::stod(x), counts[one] += 1;
    }
    int n = counts[0] + counts[1];
    if (mode == "measure") {
        double share = double(counts[1]) / n, half = 1.96 * std::sqrt(share * (1 - share) / n);
        std::cout << "{\"facts\": {\"value\": " << share << ", \"ci\": [" << share - half << ", " << share + half
                  << "], \"n\": " << n << "}}";
        return 0;
    }
    std::string folder = text_of(request, "out") + "/model";
    std::filesystem::create_directory(folder);
    std::ofstream(folder + "/means.txt") << sums[0] / counts[0] << " " << sums[1] / counts[1];
    std::ofstream(folder + "/centroids", std::ios::binary) << std::ifstream("/proc/self/exe", std::ios::binary).rdbuf();
    std::cout << "{\"outputs\": {\"model\": \"model\"}, \"facts\": {\"rows\": " << n << "}}";
}
